"""Addresses of the east-west gateways."""
