"""The player: decks, mixer and sound card, in a process of its own."""
