"""Access to istioctl, istiod and the proxies."""
