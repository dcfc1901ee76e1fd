"""Online scores: the champion of a tenant, asked over HTTP. Training and batch scoring are in `ml_assets`."""
