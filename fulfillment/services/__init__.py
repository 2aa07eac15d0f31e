"""What it does: `creating` shipments, `packing`, `dispatching` and `stopping` them, and `returning` parcels."""
