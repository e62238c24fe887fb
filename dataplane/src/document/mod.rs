//! Policy documents to the model: every diagnostic at once, with its place.
