"""The sample contact centre: invented companies, people and conversations for the demonstration."""
