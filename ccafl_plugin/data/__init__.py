"""Who is what proxy, which images make a batch, and what images look like."""

from ccafl_plugin.data.proxies import ProxyLabels

__all__ = ["ProxyLabels"]
