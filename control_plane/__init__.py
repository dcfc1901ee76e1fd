"""The control plane: the tenant registry and the export shelf over HTTP. It provisions nothing itself."""
