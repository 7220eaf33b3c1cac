package auditsink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/policy"
)

const (
	// ManagedBy is the label of gatewarden's own reports.
	ManagedBy = "app.kubernetes.io/managed-by"
	// Source is the value of ManagedBy, and what the reports name as their source.
	Source = "gatewarden"
	// LeftOut is the annotation of a namespace's last report with the number of findings that did
	// not fit.
	LeftOut = config.Domain + "/left-out"

	// An object of the API server has to stay below 1 MiB. Reports with 200 results of 3.5 KiB do.
	resultsPerReport = 200
	reportsPerPlace  = 5
	messageLimit     = 2048
	propertyLimit    = 512
)

// ownName matches the names that gatewarden gives to its reports.
var ownName = regexp.MustCompile(`^` + Source + `(-[0-9]+)?$`)

// reportKind is one of the two kinds of reports. They differ in nothing but their scope.
type reportKind struct {
	name, resource string
	namespaced     bool
}

var reportKinds = []reportKind{{"Report", "reports", true}, {"ClusterReport", "clusterreports", false}}

// Reports keeps reports of openreports.io in each namespace with findings, and one for objects
// without a namespace, where the cluster serves these kinds. It compares them with those that are
// there at every audit, and writes only where they differ.
type Reports struct {
	client dynamic.Interface
	leader *leadership.Leadership
}

// NewReports returns a sink that writes while this replica leads.
func NewReports(client dynamic.Interface, leader *leadership.Leadership) *Reports {
	return &Reports{client, leader}
}

// Name names the sink.
func (*Reports) Name() string { return "reports" }

// Tell makes the reports those of the outcome.
func (r *Reports) Tell(ctx context.Context, o audit.Outcome) error {
	ctx, cancel, leading := r.leader.Of(ctx)
	defer cancel()
	if !leading {
		return nil
	}
	var errs []error
	for _, kind := range reportKinds {
		errs = append(errs, r.reconcile(ctx, kind, o))
	}
	return errors.Join(errs...)
}

// reconcile makes the reports of a kind those of the outcome.
func (r *Reports) reconcile(ctx context.Context, kind reportKind, o audit.Outcome) error {
	client := r.client.Resource(v1alpha1.SchemeGroupVersion.WithResource(kind.resource))
	list, err := client.List(ctx, metav1.ListOptions{LabelSelector: ManagedBy + "=" + Source})
	switch {
	case apierrors.IsNotFound(err): // the cluster does not serve the kind
		return nil
	case err != nil:
		return fmt.Errorf("listing %s: %w", groupResource(kind), err)
	}
	there := map[place]*v1alpha1.Report{}
	for i := range list.Items {
		u := &list.Items[i]
		if !ownName.MatchString(u.GetName()) {
			continue
		}
		report := &v1alpha1.Report{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, report); err != nil {
			return fmt.Errorf("reading %s %s/%s: %w", groupResource(kind), u.GetNamespace(), u.GetName(), err)
		}
		there[place{u.GetNamespace(), u.GetName()}] = report
	}
	since := firstSeen(there)
	var errs []error
	for _, report := range reports(kind, o, since) {
		at := place{report.Namespace, report.Name}
		if err := write(ctx, client.Namespace(report.Namespace), report, there[at]); err != nil {
			errs = append(errs, fmt.Errorf("%s %s/%s: %w", groupResource(kind), at.namespace, at.name, err))
		}
		delete(there, at)
	}
	for at, report := range there {
		err := client.Namespace(at.namespace).Delete(ctx, at.name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(report.UID))})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("%s %s/%s: %w", groupResource(kind), at.namespace, at.name, err))
		}
	}
	return errors.Join(errs...)
}

// place is where a report is.
type place struct{ namespace, name string }

func groupResource(kind reportKind) schema.GroupResource { return v1alpha1.Resource(kind.resource) }

// write creates a report, or updates the one that is there, if they differ.
func write(ctx context.Context, client dynamic.ResourceInterface, report, there *v1alpha1.Report) error {
	if there == nil {
		_, err := client.Create(ctx, toUnstructured(report), metav1.CreateOptions{})
		if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil // there is no place for it
		}
		return err
	}
	if there.Source == report.Source && there.Annotations[LeftOut] == report.Annotations[LeftOut] &&
		equality.Semantic.DeepEqual(there.Summary, report.Summary) && equality.Semantic.DeepEqual(there.Results, report.Results) {
		return nil
	}
	updated := there.DeepCopy()
	updated.Source, updated.Summary, updated.Results = report.Source, report.Summary, report.Results
	delete(updated.Annotations, LeftOut)
	for k, v := range report.Annotations {
		metav1.SetMetaDataAnnotation(&updated.ObjectMeta, k, v)
	}
	_, err := client.Update(ctx, toUnstructured(updated), metav1.UpdateOptions{})
	return err
}

func toUnstructured(report *v1alpha1.Report) *unstructured.Unstructured {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(report)
	if err != nil {
		panic(err) // the type is a fixed one
	}
	return &unstructured.Unstructured{Object: content}
}

// reports are the reports of a kind on an outcome, by place and then by object.
func reports(kind reportKind, o audit.Outcome, since map[resultID]metav1.Timestamp) []*v1alpha1.Report {
	by := map[string][]audit.Finding{}
	var namespaces []string
	for _, f := range o.Findings {
		if (f.Key.Namespace != "") != kind.namespaced {
			continue
		}
		if _, again := by[f.Key.Namespace]; !again {
			namespaces = append(namespaces, f.Key.Namespace)
		}
		by[f.Key.Namespace] = append(by[f.Key.Namespace], f)
	}
	slices.Sort(namespaces)
	var out []*v1alpha1.Report
	for _, namespace := range namespaces {
		findings := by[namespace]
		leftOut := 0
		if limit := resultsPerReport * reportsPerPlace; len(findings) > limit {
			leftOut = len(findings) - limit
			findings = worstFirst(findings)[:limit]
		}
		n := 0
		for chunk := range slices.Chunk(findings, resultsPerReport) {
			n++
			report := &v1alpha1.Report{
				TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: kind.name},
				ObjectMeta: metav1.ObjectMeta{
					Namespace: namespace, Name: Source, Labels: map[string]string{ManagedBy: Source},
				},
				Source: Source,
			}
			if n > 1 {
				report.Name += "-" + strconv.Itoa(n)
			}
			for _, f := range chunk {
				add(report, f, o.Ended, since)
			}
			out = append(out, report)
		}
		if leftOut > 0 {
			out[len(out)-1].Annotations = map[string]string{LeftOut: strconv.Itoa(leftOut)}
		}
	}
	return out
}

// add adds the result of a finding, and counts it.
func add(report *v1alpha1.Report, f audit.Finding, now time.Time, since map[resultID]metav1.Timestamp) {
	r := v1alpha1.ReportResult{
		Source: Source, Policy: f.Rule, Rule: f.Name, Scored: true,
		Subjects:    []corev1.ObjectReference{subject(f)},
		Description: cut(f.Message, messageLimit),
		Properties:  map[string]string{"effect": f.Effect.String()},
	}
	for k, v := range map[string]string{"field": f.Field, "subject": f.Subject, "exempt": f.Exempt} {
		if v != "" {
			r.Properties[k] = cut(v, propertyLimit)
		}
	}
	switch {
	case f.Exempt != "":
		r.Result, r.Severity = "skip", "info"
		report.Summary.Skip++
	case f.Effect == policy.Deny:
		r.Result, r.Severity = "fail", "high"
		report.Summary.Fail++
	case f.Effect == policy.Warn:
		r.Result, r.Severity = "warn", "medium"
		report.Summary.Warn++
	default:
		r.Result, r.Severity = "warn", "info"
		report.Summary.Warn++
	}
	r.Timestamp = cmp.Or(since[idOf(&r)], metav1.Timestamp{Seconds: now.Unix()})
	report.Results = append(report.Results, r)
}

// resultID identifies a result, as audit.ID does a finding.
type resultID struct {
	policy, subject string
	object          corev1.ObjectReference
}

func idOf(r *v1alpha1.ReportResult) resultID {
	id := resultID{policy: r.Policy, subject: r.Properties["subject"]}
	if len(r.Subjects) > 0 {
		id.object = r.Subjects[0]
	}
	return id
}

// firstSeen tells since when each result is known: a report that is written again keeps that.
func firstSeen(there map[place]*v1alpha1.Report) map[resultID]metav1.Timestamp {
	out := map[resultID]metav1.Timestamp{}
	for _, report := range there {
		for i := range report.Results {
			out[idOf(&report.Results[i])] = report.Results[i].Timestamp
		}
	}
	return out
}
