"""The door to the Kubernetes API: requests, paged lists, watches, errors in our own words."""


class Api:
    """One cluster. `async with Api.connect(kubeconfig, context) as api:`."""
