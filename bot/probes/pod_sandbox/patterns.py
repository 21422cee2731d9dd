"""The texts of kubelets, runtimes and CNI plugins about a failed sandbox, and the class of each.

The first pattern that is found anywhere counts, so what is narrow comes before what is wide.

Source: https://github.com/projectcalico/calico/issues/9215 (unauthorized)
Source: https://github.com/projectcalico/calico/issues/4361 (API timeout)
Source: https://github.com/k3s-io/k3s/issues/5885 (host-local exhausted)
Source: https://github.com/k3s-io/k3s/issues/5556 (subnet.env)
Source: https://github.com/cilium/cilium/issues/40345 (agent not running)
Source: https://github.com/kubernetes/kubernetes/issues/107428 (nodename, cni config uninitialized)
Source: https://github.com/projectcalico/calico/issues/6425 (another CA)
Source: https://github.com/projectcalico/calico/issues/2040 (no SAN for the address)
Source: https://github.com/projectcalico/calico/issues/4095 (unexpected EOF)
Source: https://github.com/projectcalico/calico/issues/10352 (a proxy between the plugin and the API)
Source: https://github.com/openshift/origin/pull/26932 (Multus waits for its readiness file)
Source: https://github.com/networkop/meshnet-cni/issues/40 (incompatible CNI versions)
Source: https://github.com/cilium/cilium/issues/24361 (too many requests)
Source: https://github.com/containernetworking/plugins/pull/1225 (permission denied, IPv6 disabled)
Source: https://github.com/coredns/coredns/issues/6091 (a plugin killed by a signal)
Source: https://github.com/weaveworks/ignite/issues/527 (duplicate allocation)
Source: https://github.com/istio/istio/issues/57788 (istio-cni unauthorized, on nodes without its agent)
"""

import re
from typing import Final

SANDBOX_ERRORS = (
    "none",
    "cni-not-initialised",
    "plugin-missing",
    "ipam-exhausted",
    "no-pool",
    "api-timeout",
    "unauthorized",
    "subnet-env-missing",
    "bridge-address-conflict",
    "pod-cidr-missing",
    "agent-unreachable",
    "agent-overloaded",
    "nodename-missing",
    "datastore-not-ready",
    "plugin-crashed",
    "plugin-not-executable",
    "ipam-store",
    "address-taken",
    "api-cut",
    "forbidden",
    "other-ca",
    "certificate-name",
    "certificate-expired",
    "default-network-awaited",
    "extra-network-missing",
    "cni-version",
    "conf-invalid",
    "ipv6-disabled",
    "kernel-lacks",
    "device-left-over",
    "parent-device",
    "mtu-invalid",
    "node-resources",
    "pause-image",
    "resolv-conf",
    "runtime",
    "other",
)

PATTERNS: Final = tuple(
    (error, re.compile("|".join(patterns), re.IGNORECASE))
    for error, patterns in (
        # What the runtime says before any plugin is called
        (
            "pause-image",
            (
                r"failed to (?:get|pull) sandbox image",
                r"failed (?:to )?pull(?:ing)? image .{0,80}/pause[:@]",
            ),
        ),
        (
            "resolv-conf",
            (
                r"open \S*resolv\.conf: no such file",
                r"resolv\.conf failed for pod",
                r"no such file.{0,40}resolv\.conf",
            ),
        ),
        # The configuration
        (
            "default-network-awaited",
            (
                r"readinessindicatorfile",
                r"have you checked that your default network is ready",
            ),
        ),
        (
            "extra-network-missing",
            (
                r"cannot find a network-attachment-definition",
                r"network-attachment-definitions?\.k8s\.cni\.cncf\.io \S+ not found",
                r"failed getting the delegate: (?:getKubernetesDelegate: )?cannot ",
                r"GetCNIConfig: err in GetCNIConfigFromFile: No networks found",
            ),
        ),
        (
            "cni-version",
            (
                r"incompatible CNI versions",
                r"unsupported CNI result version",
                r"unsupported CNI version",
                r"invalid version \S*: the version is empty",
                r"plugin .{0,80}does not support config version",
                r"cannot convert: no valid converter from",
            ),
        ),
        (
            "conf-invalid",
            (
                r"error (?:parsing|loading) (?:CNI )?configuration(?: list)?(?: file)?\b",
                r"failed to (?:load|parse|unmarshal) (?:CNI |network )?(?:net)?conf(?:ig(?:uration)?)?(?: list)?\b",
                r"missing network name",
                r"no plugins? in (?:CNI )?(?:list|config)",
                r"invalid CIDR address",
                r"json: cannot unmarshal",
            ),
        ),
        ("nodename-missing", (r"/var/lib/calico/nodename",)),
        (
            "agent-unreachable",
            (
                r"unable to connect to cilium (?:agent|daemon)",
                r"failed to create cilium agent client",
                r"\.sock\S*: connect: (?:connection refused|no such file)",
                r"dial tcp 127\.0\.0\.1:50051: connect: connection refused",  # aws-node
                r"connection error: desc = .{0,60}\.sock",
                r"failed to contact node Istio CNI agent",
                r"is the agent running\?",
                r"http://(?:127\.0\.0\.1|localhost):6784/\S*: dial tcp",  # weave
                r"(?:\.sock\b|http://(?:dummy|localhost)/|read unix ).{0,160}(?:\bEOF\b|reset by peer|broken pipe)",
                r"error reading from server: EOF",  # gRPC, which plugins speak with the agent of their node only
            ),
        ),
        (
            "cni-not-initialised",
            (
                r"cni plugin not initialized",
                r"cni config uninitialized",
                r"no network config(?:uration)? found in",
                r"no networks found in",
            ),
        ),
        ("plugin-missing", (r"failed to find plugin", r"fork/exec \S+: no such file")),
        (
            "plugin-not-executable",
            (
                r"exec format error",
                r"fork/exec \S+: (?:permission denied|operation not permitted|text file busy|input/output error)",
            ),
        ),
        ("subnet-env-missing", (r"/run/flannel/subnet\.env",)),
        ("bridge-address-conflict", (r"already has an IP address different from",)),
        (
            "pod-cidr-missing",
            (
                r"pod ?cidr not (?:assigned|available)",
                r"no podCidrs? for node",
                r"PodCIDR not available",
                r"no IP ranges specified",
            ),
        ),
        (
            "no-pool",
            (
                r"no configured Calico pools",
                r"the given pool .{0,80}does not exist, or is not enabled",
                r"no IP ?pools? (?:selects?|matches|available for)",
            ),
        ),
        (
            "ipam-exhausted",
            (
                r"no IP addresses available in",
                r"No IPs available in pools",
                r"No more free affine blocks",
                r"per host block limit",
                r"all (?:pod )?CIDR ranges are exhausted",
                r"No more IPs available",
                r"no IPs currently available on the node",
                r"range is full",
                r"failed to assign an IP address to container",
                r"Assigned 0 out of \d+ requested IPv[46] addresses",
            ),
        ),
        (
            "address-taken",
            (
                r"duplicate allocation is not allowed",
                r"requested (?:IP )?address\S* \S+ is (?:already in use|not available)",
                r"(?:IP )?address(?: \S+)? (?:is )?already (?:in use|assigned|allocated)",
                r"IP already allocated",
            ),
        ),
        (
            "ipam-store",
            (
                r"/var/lib/cni\S*: (?:no space left|read-only file|permission denied|no such file|resource tempor)",
                r"(?:failed|unable|could not) to (?:acquire|lock|get lock)\b.{0,60}(?:ipam|networks)\b",
            ),
        ),
        # The way to the API server, and what it answers
        ("other-ca", (r"certificate signed by unknown authority", r"x509: certificate is not authorized to sign")),
        (
            "certificate-name",
            (
                r"x509: certificate is valid for .{0,900}not ",
                r"doesn't contain any IP SANs",
                r"x509: certificate is not valid for any names",
            ),
        ),
        ("certificate-expired", (r"certificate has expired", r"is not yet valid", r"expired certificate")),
        (
            "unauthorized",
            (
                r"\bUnauthorized\b",
                r"must be logged in to the server",
                r"the server has asked for the client to provide credentials",
            ),
        ),
        (
            "forbidden",
            (
                r"\bis forbidden: User\b",
                r"\bforbidden: User\b",
                r"cannot (?:get|list|watch|patch|update|create) resource",
            ),
        ),
        (
            "datastore-not-ready",
            (
                r"ClusterInformation\(default\) with error",
                r"datastore is not (?:ready|initialized)",
                r"Calico is currently not ready to process requests",
            ),
        ),
        (
            "agent-overloaded",
            (
                r"TooManyRequests",
                r"\[429\]",
                r"API client timeout exceeded",
                r"did not synchronously regenerate",
            ),
        ),
        (
            "api-timeout",
            (
                r"dial tcp \S+: i/o timeout",
                r"dial tcp \S+: (?:connect: )?(?:connection (?:refused|timed out)|no route to|network is unreach)",
                r"dial tcp: lookup ",
                r"https://\S+ .{0,120}context deadline exceeded",
                r"failed \(add\): (?:.{0,300}: )?context deadline exceeded",
                r"Client\.Timeout exceeded",
                r"TLS handshake timeout",
                r"net/http: request canceled",
            ),
        ),
        (
            "api-cut",
            (
                r"https://\S+ (?:.{0,120}: )?(?:unexpected )?EOF\b",
                r"(?:error getting ClusterInformation|https://|read tcp ).{0,300}connection reset by peer",
                r"server gave HTTP response to HTTPS client",
                r"malformed HTTP",
                r"tls: (?:first record does not look like a TLS handshake|handshake failure|internal error)",
                r"https?://\S+: (?:Service Unavailable|Bad Gateway|Gateway Time-?out|Proxy Authentication Required)",
                r"proxyconnect tcp",
                r"server sent GOAWAY",
            ),
        ),
        # What the kernel refuses
        (
            "kernel-lacks",
            (
                r"can't initialize ip6?tables table",
                r"Table does not exist",
                r"modprobe: ",
                r"missing kernel module",
                r"extension \S+ (?:is )?not (?:supported|found)",
                r"No chain/target/match by that name",
                r"\b(?:veth|bridge|vxlan|macvlan|ipvlan|qdisc|ifb)\b.{0,160}: (?:operation|protocol) not supported",
            ),
        ),
        (
            "ipv6-disabled",
            (
                r"could not add IP address .{0,60}to \S+: permission denied",
                r"failed to add IP addr .{0,300}to \S+: permission denied",
                r"/proc/sys/net/ipv6/\S+: no such file",
                r"address family not supported by protocol",
            ),
        ),
        (
            "mtu-invalid",
            (
                r"invalid MTU",
                r"mtu .{0,40}(?:greater|larger|less|smaller) than",
                r"(?:set|change|setting)\w* (?:the )?mtu\b.{0,80}(?:invalid argument|numerical result out of range)",
                r"numerical result out of range",
            ),
        ),
        (
            "device-left-over",
            (
                r"container veth name (?:provided )?\(?\S+ already exists",
                r"veth.{0,120}: file exists",
                r"peer exists",
                r"could not add \S+: file exists",
                r"failed to (?:rename|move) (?:link|veth)\b.{0,120}(?:file exists|device or resource busy)",
            ),
        ),
        (
            "parent-device",
            (
                r"device or resource busy",
                r"(?:failed to|could not) (?:lookup|find) (?:master|parent|host device|device|interface)\b",
                r"Link not found",
                r"no such network interface",
            ),
        ),
        (
            "node-resources",
            (
                r"too many open files",
                r"no space left on device",
                r"cannot allocate memory",
                r"resource temporarily unavailable",
                r"read-only file system",
                r"pthread_create failed",
            ),
        ),
        # A plugin that ends without an error of its own
        (
            "plugin-crashed",
            (
                r"netplugin failed(?: with no error message|: )",
                r"signal: (?:killed|segmentation fault|aborted|illegal instruction|bus error)",
                r"(?:^|failed \(\w+\): )exit status \d+$",
                r"\bpanic: ",
                r"unexpected end of JSON input",
            ),
        ),
        (
            "runtime",
            (
                r"OCI runtime",
                r"runc (?:create|did not)",
                r"failed to (?:create|start) (?:containerd task|shim|sandbox|containerd container|new container)",
                r"failed to reserve sandbox name",
                r"no runtime for",
                r"cgroup",
                r"/proc/\d+/ns/net",
                r"failed to create network namespace",
            ),
        ),
    )
)  # fmt: skip
