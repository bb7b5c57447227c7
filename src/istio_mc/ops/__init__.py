"""What each verb does: takes gateways and plain data, returns a result, never prints."""
