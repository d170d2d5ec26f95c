"""The local stack's own tests: `python3 -m unittest discover -s deploy/local/tests -t deploy/local`."""
