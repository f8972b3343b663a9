"""Every format that is written for others or kept: records, headers, doorbells."""
