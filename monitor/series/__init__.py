"""Reading the time series: the embedded journal, InfluxDB, and the follower that mirrors."""
