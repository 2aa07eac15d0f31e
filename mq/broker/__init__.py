"""The broker: stores what producers send, hands it to consumers, and knows who has read how far."""
