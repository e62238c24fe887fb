//! The model and a flow to a decision, by definition and not by table.
