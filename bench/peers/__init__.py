"""An application as others audit it: one model, and who logs its updates is told from outside."""
