package decode

import (
	"reflect"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	extensions "istio.io/api/extensions/v1alpha1"
	mesh "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Every field that is read exists under that name, and as that type, in the published API.
func TestFieldsOfIstio(t *testing.T) {
	for _, c := range []struct {
		ours   any
		theirs protoreflect.ProtoMessage
	}{
		{gatewayDoc{}, &networking.Gateway{}},
		{virtualServiceDoc{}, &networking.VirtualService{}},
		{serviceEntryDoc{}, &networking.ServiceEntry{}},
		{workloadEntryDoc{}, &networking.WorkloadEntry{}},
		{destinationRuleDoc{}, &networking.DestinationRule{}},
		{sidecarDoc{}, &networking.Sidecar{}},
		{peerAuthenticationDoc{}, &security.PeerAuthentication{}},
		{envoyFilterDoc{}, &networking.EnvoyFilter{}},
		{wasmPluginDoc{}, &extensions.WasmPlugin{}},
		{trafficExtensionDoc{}, &extensions.TrafficExtension{}},
		{authorizationPolicyDoc{}, &security.AuthorizationPolicy{}},
		{requestAuthenticationDoc{}, &security.RequestAuthentication{}},
		{telemetryDoc{}, &telemetryapi.Telemetry{}},
		{proxyConfigDoc{}, &networkingv1beta1.ProxyConfig{}},
	} {
		spec, ok := reflect.TypeOf(c.ours).FieldByName("Spec")
		require.True(t, ok)
		checkMessage(t, spec.Type, c.theirs.ProtoReflect().Descriptor(), "spec")
	}
	checkMessage(t, reflect.TypeFor[meshConfigDoc](), (&mesh.MeshConfig{}).ProtoReflect().Descriptor(), "mesh")
	for mode := range security.PeerAuthentication_MutualTLS_Mode_value {
		_, err := mutualTLS{Mode: &mode}.mode("spec.mtls")
		assert.Nil(t, err, mode)
	}
	assert.Equal(t, "PASSTHROUGH", networking.ServerTLSSettings_TLSmode(0).String())
	assert.Equal(t, (&clientTLS{}).mode(), networking.ClientTLSSettings_TLSmode(0).String())
}

func checkMessage(t *testing.T, ours reflect.Type, theirs protoreflect.MessageDescriptor, at string) {
	for i := range ours.NumField() {
		f := ours.Field(i)
		name := f.Tag.Get("json")
		fd := theirs.Fields().ByJSONName(name)
		if !assert.NotNil(t, fd, "%s.%s is no field of %s", at, name, theirs.FullName()) {
			continue
		}
		path, typ, element := at+"."+name, f.Type, fd
		switch {
		case fd.IsMap():
			require.Equal(t, reflect.Map, typ.Kind(), path)
			typ, element = typ.Elem(), fd.MapValue()
		case fd.IsList():
			require.Equal(t, reflect.Slice, typ.Kind(), path)
			typ = typ.Elem()
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if element.Kind() == protoreflect.MessageKind && element.Message().FullName() == "google.protobuf.BoolValue" {
			assert.Equal(t, reflect.Bool, typ.Kind(), path)
			continue
		}
		switch element.Kind() {
		case protoreflect.MessageKind:
			switch element.Message().FullName() { // have JSON forms of their own
			case "google.protobuf.Struct":
				assert.Equal(t, reflect.TypeFor[map[string]any](), typ, path)
				continue
			case "google.protobuf.BoolValue":
				assert.Equal(t, reflect.Bool, typ.Kind(), path)
				continue
			}
			require.Equal(t, reflect.Struct, typ.Kind(), path)
			checkMessage(t, typ, element.Message(), path)
		case protoreflect.EnumKind, protoreflect.StringKind:
			assert.Equal(t, reflect.String, typ.Kind(), path)
		default:
			assert.Equal(t, element.Kind().String(), typ.Kind().String(), path)
		}
	}
}

// The same for Kubernetes' own kinds.
func TestFieldsOfKubernetes(t *testing.T) {
	for _, c := range []struct{ ours, theirs any }{
		{gatewayDoc{}.header, metav1.PartialObjectMetadata{}},
		{templatedDoc{}, appsv1.Deployment{}},
		{templatedDoc{}, appsv1.DaemonSet{}},
		{templatedDoc{}, appsv1.StatefulSet{}},
		{podDoc{}, corev1.Pod{}},
		{serviceDoc{}, corev1.Service{}},
		{namespaceDoc{}, corev1.Namespace{}},
		{configMapDoc{}, corev1.ConfigMap{}},
		{nodeDoc{}, corev1.Node{}},
		{certificateDoc{}, certmanagerv1.Certificate{}},
		{injectorsDoc{}, admissionregistrationv1.MutatingWebhookConfiguration{}},
		{ingressDoc{}, networkingv1.Ingress{}},
		{ingressClassDoc{}, networkingv1.IngressClass{}},
		{kubernetesGatewayDoc{}, gatewayv1.Gateway{}},
		{gatewayClassDoc{}, gatewayv1.GatewayClass{}},
		{listenerSetDoc{}, gatewayv1.ListenerSet{}},
		{routeDoc[httpRule]{}, gatewayv1.HTTPRoute{}},
		{routeDoc[grpcRule]{}, gatewayv1.GRPCRoute{}},
		{routeDoc[l4Rule]{}, gatewayv1.TLSRoute{}},
		{tcpRouteDoc{}, gatewayv1.TCPRoute{}},
	} {
		checkStruct(t, reflect.TypeOf(c.ours), reflect.TypeOf(c.theirs), reflect.TypeOf(c.theirs).Name())
	}
}

func checkStruct(t *testing.T, ours, theirs reflect.Type, at string) {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(theirs) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	for i := range ours.NumField() {
		f := ours.Field(i)
		if f.Anonymous {
			checkStruct(t, f.Type, theirs, at)
			continue
		}
		name := f.Tag.Get("json")
		if assert.Contains(t, fields, name, at) {
			checkType(t, f.Type, fields[name], at+"."+name)
		}
	}
}

func checkType(t *testing.T, ours, theirs reflect.Type, at string) {
	if ours.Kind() == reflect.Pointer {
		ours = ours.Elem()
	}
	if theirs.Kind() == reflect.Pointer {
		theirs = theirs.Elem()
	}
	switch theirs {
	case reflect.TypeFor[metav1.Time]():
		assert.Equal(t, reflect.String, ours.Kind(), at)
		return
	case reflect.TypeFor[intstr.IntOrString]():
		assert.Equal(t, reflect.Interface, ours.Kind(), at)
		return
	}
	if ours == reflect.TypeFor[portNumber]() {
		assert.Equal(t, reflect.Int32, theirs.Kind(), at)
		return
	}
	require.Equal(t, theirs.Kind(), ours.Kind(), at)
	switch ours.Kind() {
	case reflect.Struct:
		checkStruct(t, ours, theirs, at)
	case reflect.Slice, reflect.Map:
		checkType(t, ours.Elem(), theirs.Elem(), at)
	default: // a scalar has nothing below it
	}
}
