"""The store: how soon a chart is drawn, and what a reading costs on disk, beside two peers."""
