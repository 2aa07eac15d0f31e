"""WeChat Pay's dialect, APIv3: JSON over REST, signatures in headers, callbacks encrypted with AES-256-GCM."""
