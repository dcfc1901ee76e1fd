"""The `unmogrowp` command: thin Typer commands over the resources and the stack's HTTP interfaces."""
