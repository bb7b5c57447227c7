"""istioctl, istiod and the proxies."""
