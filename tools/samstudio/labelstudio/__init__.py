"""A small Label Studio client: sign in, personal access tokens, the SDK, and the few records a deployment needs.

`connect(url, token)` gives a `LabelStudio`: `.sdk` is label-studio-sdk, `.http` an authorised httpx client for the
calls whose answer the SDK drops.
"""

from samstudio.labelstudio.client import (
    LabelStudio,
    LabelStudioError,
    api_errors,
    connect,
    http_client,
    label_studio_client,
)

__all__ = ["LabelStudio", "LabelStudioError", "api_errors", "connect", "http_client", "label_studio_client"]
