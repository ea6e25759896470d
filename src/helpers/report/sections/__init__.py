"""The sections of the page, each from the tables and figures of one or two chapters."""
