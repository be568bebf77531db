"""Files that anybody may have made: read here, within bounds, before anything else is done with them (SECURITY.md)."""
