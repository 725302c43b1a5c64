"""What tests stand on: real servers, a database of one's own per test, and roles to act as."""
