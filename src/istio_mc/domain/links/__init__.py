"""Remote secrets and the members they link."""
