"""A city: thousands of files as one layer, in blocks that may be done anywhere and in any order."""
