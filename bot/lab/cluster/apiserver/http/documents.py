"""The paths that are no resources: version, health, discovery, OpenAPI."""

from collections.abc import Sequence

from aiohttp import web

from bot.lab.cluster.apiserver.http import discovery
from bot.lab.cluster.apiserver.http.answers import accepted, answer, page_not_found, text
from bot.lab.cluster.apiserver.http.health import health
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.kubectl import openapi


def answer_for(request: web.BaseRequest, resources: Sequence[Resource], address: str) -> web.Response:
    """The document at a path, or a 404 in plain text."""
    match [part for part in request.path.split("/") if part]:
        case ["version"]:
            return answer(discovery.VERSION)
        case ["livez" | "readyz" | "healthz" as which, *_]:
            return text(health(which, verbose="verbose" in request.query))
        case ["api" | "apis" as root]:
            return _groups(request, resources, address, core=root == "api")
        case ["api" | "apis" as root, *path]:
            group, *version = path if root == "apis" else ["", *path]
            return _group([r for r in resources if r.group == group], version)
        case ["openapi", "v3", *rest]:
            return _openapi(resources, rest)
        case _:
            return page_not_found()


def _groups(request: web.BaseRequest, resources: Sequence[Resource], address: str, *, core: bool) -> web.Response:
    form = accepted(request.headers.get("Accept", ""), ("APIGroupDiscoveryList",))
    if form.as_kind and form.as_version == "v2":
        response = answer(discovery.aggregated(resources, core=core))
        response.headers["Content-Type"] = discovery.AGGREGATED
        return response
    return answer(discovery.core_versions(address) if core else discovery.group_list(resources))


def _group(members: Sequence[Resource], version: Sequence[str]) -> web.Response:
    if not members:
        return page_not_found()
    group = members[0].group
    if not version:
        return answer({"kind": "APIGroup", "apiVersion": "v1", **discovery.group_entry(group, members)})
    here = [one for one in members if [one.version] == list(version)]
    return answer(discovery.resource_list(group, here[0].version, here)) if here else page_not_found()


def _openapi(resources: Sequence[Resource], rest: Sequence[str]) -> web.Response:
    match rest:
        case []:
            return answer(openapi.index(resources))
        case ["api", "v1"]:
            return answer(openapi.document([r for r in resources if not r.group]))
        case ["apis", group, _]:
            return answer(openapi.document([r for r in resources if r.group == group]))
        case _:
            return page_not_found()
