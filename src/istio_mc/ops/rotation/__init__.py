"""Keys that change while the mesh serves: the readers' tokens, one cluster after another."""
