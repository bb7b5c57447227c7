"""The path of a call from one cluster to a service of another, hop by hop. Pure."""
