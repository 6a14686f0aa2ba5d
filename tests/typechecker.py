"""Checks every annotation of the package while the tests run; an int is also a float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
