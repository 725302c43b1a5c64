"""The composition root: settings, addresses, local servers, the sample contact centre."""
