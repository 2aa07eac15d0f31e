"""WeChat Pay APIv3: JSON over REST with signatures in headers, callbacks encrypted with AES-256-GCM."""
