"""One file with everything that a host without a network needs.

check.py    reads it: whole, for this host, unpacked (standard library only; also sent to hosts as it is)
collect.py  Debian packages and wheels, by apt and pip
pack.py     writes it: the manifest first, then every member
"""
