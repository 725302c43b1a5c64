"""Streams the sealed log out, live, to whoever watches: by syslog over TLS, or by HTTPS."""
