"""Request bodies in Kubernetes' protobuf form, which kubectl uses for some kinds (reviews, tokens, `kubectl create`).

Only the kinds in `_MESSAGES` can be read; the answer to others is 415, with which clients can live. Answers are always
JSON: clients that send protobuf accept it.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding-idl and the `generated.proto`
files of k8s.io/api, whose field numbers the tables repeat.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bot.lab.cluster.apiserver.errors import ApiError, bad_request

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

Table = Mapping[int, str]
"""Field number to `name:kind`.

Kinds: `str`, `int`, `bool` (zero values mean "not given"), `*int` and `*bool` (zero values count), `bytes`, `time`,
`quantity`, `intorstring`, `skip`, or another message's name; `[]` before it for lists, `{}` for maps from strings.
"""

_MESSAGES: Mapping[str, Table] = {
    "TypeMeta": {1: "apiVersion:str", 2: "kind:str"},
    "Unknown": {1: "typeMeta:TypeMeta", 2: "raw:raw", 3: "contentEncoding:str", 4: "contentType:str"},
    "ObjectMeta": {
        1: "name:str",
        2: "generateName:str",
        3: "namespace:str",
        4: "selfLink:str",
        5: "uid:str",
        6: "resourceVersion:str",
        7: "generation:int",
        8: "creationTimestamp:skip",
        11: "labels:{}str",
        12: "annotations:{}str",
        14: "finalizers:[]str",
    },
    "SelfSubjectAccessReview": {1: "metadata:ObjectMeta", 2: "spec:AccessReviewSpec", 3: "status:skip"},
    "SubjectAccessReview": {1: "metadata:ObjectMeta", 2: "spec:SubjectReviewSpec", 3: "status:skip"},
    "LocalSubjectAccessReview": {1: "metadata:ObjectMeta", 2: "spec:SubjectReviewSpec", 3: "status:skip"},
    "AccessReviewSpec": {1: "resourceAttributes:ResourceAttributes", 2: "nonResourceAttributes:PathAttributes"},
    "SubjectReviewSpec": {
        1: "resourceAttributes:ResourceAttributes",
        2: "nonResourceAttributes:PathAttributes",
        3: "user:str",
        4: "groups:[]str",
        6: "uid:str",
    },
    "ResourceAttributes": {
        1: "namespace:str",
        2: "verb:str",
        3: "group:str",
        4: "version:str",
        5: "resource:str",
        6: "subresource:str",
        7: "name:str",
    },
    "PathAttributes": {1: "path:str", 2: "verb:str"},
    "SelfSubjectRulesReview": {1: "metadata:ObjectMeta", 2: "spec:RulesReviewSpec", 3: "status:skip"},
    "RulesReviewSpec": {1: "namespace:str"},
    "SelfSubjectReview": {1: "metadata:ObjectMeta", 2: "status:skip"},
    "TokenRequest": {1: "metadata:ObjectMeta", 2: "spec:TokenRequestSpec", 3: "status:skip"},
    "TokenRequestSpec": {1: "audiences:[]str", 3: "boundObjectRef:BoundReference", 4: "expirationSeconds:int"},
    "BoundReference": {1: "kind:str", 2: "apiVersion:str", 3: "name:str", 4: "uid:str"},
    "Eviction": {1: "metadata:ObjectMeta", 2: "deleteOptions:DeleteOptions"},
    "DeleteOptions": {
        1: "gracePeriodSeconds:*int",
        2: "preconditions:Preconditions",
        3: "orphanDependents:*bool",
        4: "propagationPolicy:str",
        5: "dryRun:[]str",
    },
    "Preconditions": {1: "uid:str", 2: "resourceVersion:str"},
    "Namespace": {1: "metadata:ObjectMeta", 2: "spec:skip", 3: "status:skip"},
    "ConfigMap": {1: "metadata:ObjectMeta", 2: "data:{}str", 3: "binaryData:{}bytes", 4: "immutable:*bool"},
    "Secret": {
        1: "metadata:ObjectMeta",
        2: "data:{}bytes",
        3: "type:str",
        4: "stringData:{}str",
        5: "immutable:*bool",
    },
    "ServiceAccount": {1: "metadata:ObjectMeta", 4: "automountServiceAccountToken:*bool"},
    "Role": {1: "metadata:ObjectMeta", 2: "rules:[]PolicyRule"},
    "ClusterRole": {1: "metadata:ObjectMeta", 2: "rules:[]PolicyRule"},
    "PolicyRule": {
        1: "verbs:[]str",
        2: "apiGroups:[]str",
        3: "resources:[]str",
        4: "resourceNames:[]str",
        5: "nonResourceURLs:[]str",
    },
    "RoleBinding": {1: "metadata:ObjectMeta", 2: "subjects:[]Subject", 3: "roleRef:RoleRef"},
    "ClusterRoleBinding": {1: "metadata:ObjectMeta", 2: "subjects:[]Subject", 3: "roleRef:RoleRef"},
    "Subject": {1: "kind:str", 2: "apiGroup:str", 3: "name:str", 4: "namespace:str"},
    "RoleRef": {1: "apiGroup:str", 2: "kind:str", 3: "name:str"},
    "Service": {1: "metadata:ObjectMeta", 2: "spec:ServiceSpec", 3: "status:skip"},
    "ServiceSpec": {
        1: "ports:[]ServicePort",
        2: "selector:{}str",
        3: "clusterIP:str",
        4: "type:str",
        7: "sessionAffinity:str",
        8: "loadBalancerIP:str",
        10: "externalName:str",
        11: "externalTrafficPolicy:str",
        12: "healthCheckNodePort:int",
        13: "publishNotReadyAddresses:bool",
    },
    "ServicePort": {
        1: "name:str",
        2: "protocol:str",
        3: "port:int",
        4: "targetPort:intorstring",
        5: "nodePort:int",
    },
    "Deployment": {1: "metadata:ObjectMeta", 2: "spec:DeploymentSpec", 3: "status:skip"},
    "DeploymentSpec": {
        1: "replicas:*int",
        2: "selector:LabelSelector",
        3: "template:PodTemplateSpec",
        4: "strategy:DeploymentStrategy",
        5: "minReadySeconds:int",
        6: "revisionHistoryLimit:*int",
        7: "paused:bool",
        9: "progressDeadlineSeconds:*int",
    },
    "DeploymentStrategy": {1: "type:str"},
    "LabelSelector": {1: "matchLabels:{}str"},
    "PodTemplateSpec": {1: "metadata:ObjectMeta", 2: "spec:PodSpec"},
    "PodSpec": {
        2: "containers:[]Container",
        3: "restartPolicy:str",
        4: "terminationGracePeriodSeconds:*int",
        6: "dnsPolicy:str",
        7: "nodeSelector:{}str",
        8: "serviceAccountName:str",
        9: "serviceAccount:str",
        10: "nodeName:str",
        11: "hostNetwork:bool",
        12: "hostPID:bool",
        13: "hostIPC:bool",
        16: "hostname:str",
        17: "subdomain:str",
        19: "schedulerName:str",
        24: "priorityClassName:str",
    },
    "Container": {
        1: "name:str",
        2: "image:str",
        3: "command:[]str",
        4: "args:[]str",
        5: "workingDir:str",
        6: "ports:[]ContainerPort",
        7: "env:[]EnvVar",
        8: "resources:Resources",
        13: "terminationMessagePath:str",
        14: "imagePullPolicy:str",
        16: "stdin:bool",
        17: "stdinOnce:bool",
        18: "tty:bool",
        20: "terminationMessagePolicy:str",
    },
    "ContainerPort": {1: "name:str", 2: "hostPort:int", 3: "containerPort:int", 4: "protocol:str", 5: "hostIP:str"},
    "EnvVar": {1: "name:str", 2: "value:str"},
    "Resources": {1: "limits:{}quantity", 2: "requests:{}quantity"},
}


def _unreadable(what: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", f"the lab's server cannot read {what} in {MEDIA_TYPE}; send JSON")


def decode(raw: bytes) -> dict[str, Any]:
    """The object in an envelope, in its JSON form; raises 400 and 415."""
    if not raw.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = _message("Unknown", raw[len(_MAGIC) :])
    meta = envelope.get("typeMeta", {})
    kind = meta.get("kind", "")
    if kind not in _MESSAGES:
        raise _unreadable(kind)
    return {"kind": kind, "apiVersion": meta.get("apiVersion", ""), **_message(kind, envelope.get("raw", b""))}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise bad_request("proto: unexpected EOF")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their values: numbers, or bytes for everything that has a length."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                number, at = _varint(data, at)
                yield tag >> 3, number
            case 2:
                size, at = _varint(data, at)
                if at + size > len(data):
                    raise bad_request("proto: unexpected EOF")
                yield tag >> 3, data[at : at + size]
                at += size
            case wire_type:
                raise bad_request(f"proto: illegal wireType {wire_type}")


def _message(name: str, data: bytes) -> dict[str, Any]:
    table, found = _MESSAGES[name], dict[str, Any]()
    for number, value in _fields(data):
        if number not in table:
            raise _unreadable(f"field {number} of {name}")
        field, _, kind = table[number].partition(":")
        if kind.startswith("[]"):
            item = _value(kind[2:], value)
            found.setdefault(field, []).append("" if item is None and kind == "[]str" else item)  # apiGroups: [""]
        elif kind.startswith("{}"):
            key, item = _entry(kind[2:], value)
            found.setdefault(field, {})[key] = item
        elif (read := _value(kind, value)) is not None:
            found[field] = read
    return found


def _entry(kind: str, value: int | bytes) -> tuple[str, Any]:
    parts = dict(_fields(value if isinstance(value, bytes) else b""))
    key, item = parts.get(1, b""), parts.get(2, b"")
    text = _value(kind, item)
    return (key.decode() if isinstance(key, bytes) else ""), "" if text is None else text


def _value(kind: str, value: int | bytes) -> Any:
    """A single value; None where Go writes a zero that means "not given"."""
    if isinstance(value, int):
        return _number(kind, value)
    read = _READERS.get(kind)
    return read(value) if read else _message(kind, value)


def _number(kind: str, value: int) -> int | bool | None:
    if kind not in {"bool", "*bool", "int", "*int"}:
        raise bad_request(f"proto: wrong wireType for {kind}")
    if not value and not kind.startswith("*"):
        return None
    if kind.endswith("bool"):
        return bool(value)
    return value - (1 << 64) if value >> 63 else value


def _text(value: bytes) -> str | None:
    return value.decode(errors="replace") or None


def _quantity(value: bytes) -> str | None:
    text = dict(_fields(value)).get(1, b"")
    return _text(text) if isinstance(text, bytes) else None


def _int_or_string(value: bytes) -> int | str | None:
    parts = dict(_fields(value))
    number, text = parts.get(2, 0), parts.get(3, b"")
    if parts.get(1):
        return _text(text) if isinstance(text, bytes) else None
    return number if isinstance(number, int) and number else None


def _nothing(_: bytes) -> None:
    return None


_READERS: Mapping[str, Callable[[bytes], Any]] = {
    "str": _text,
    "bytes": lambda value: base64.b64encode(value).decode(),
    "raw": bytes,
    "skip": _nothing,
    "quantity": _quantity,
    "intorstring": _int_or_string,
}
