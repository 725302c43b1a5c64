"""Day-first dates and the 24-hour clock in every language, as in Finland."""
