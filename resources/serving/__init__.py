"""What every HTTP service of the global plane has around its routes: problem documents, limits, timing. No routes."""
