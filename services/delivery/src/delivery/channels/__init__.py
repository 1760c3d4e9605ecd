"""The ways out: e-mail, webhooks, WhatsApp. Each sends one rendered message and says what became of it."""
