"""The commands that show alerts and what is behind them, and send alerts again."""
