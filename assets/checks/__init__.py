"""Asset checks: what must hold of a slice before anything is built on it."""
