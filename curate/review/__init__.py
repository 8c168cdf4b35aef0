"""Review sessions: the FiftyOne App, the keyboard page, queues and agreement."""
