"""Fulfillment: from a paid order to the parcel at the door, and back if it has to be."""
