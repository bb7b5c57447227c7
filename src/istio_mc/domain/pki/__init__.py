"""Keys, certificates and the CA."""
