"""Istio: documents, versions, what istiod and the proxies report."""
