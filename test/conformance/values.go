package main

import (
	"embed"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
)

//go:embed values/*.yaml
var values embed.FS

// installation is how a variant of deployKF is installed.
type installation struct {
	version deploykf.Version
	values  []string // files under values, merged in this order
}

// installations are those of the variants. Any other variant is the standard one.
var installations = map[string]installation{
	variantStandard:    {deploykf.Latest, []string{"tools.yaml"}},
	variantDefault:     {deploykf.Latest, []string{"default.yaml"}},
	"sample":           {deploykf.Latest, []string{"tools.yaml", "sample.yaml"}},
	"nosni":            {deploykf.Latest, []string{"tools.yaml", "sample.yaml", "no-sni.yaml"}},
	"noredirect":       {deploykf.Latest, []string{"tools.yaml", "sample.yaml", "no-redirect.yaml"}},
	variantOwnGateway:  {deploykf.Latest, []string{"tools.yaml", "own-gateway.yaml"}},
	variantTranslating: {deploykf.Latest, []string{"tools.yaml", "own-gateway.yaml"}},
	"v0.1.3":           {deploykf.V013, []string{"tools.yaml"}},
	"v0.1.4":           {deploykf.V014, []string{"tools.yaml"}},
}

// configuration is the one that a variant's values lead to, as "gatewarden config" writes it.
func configuration(variant string) (*config.Configuration, error) {
	of, ok := installations[variant]
	if !ok {
		of = installations[variantStandard]
	}
	var files []deploykf.File
	for _, name := range of.values {
		data, err := values.ReadFile("values/" + name)
		if err != nil {
			return nil, err
		}
		files = append(files, deploykf.File{Name: name, Data: data})
	}
	i, _, err := deploykf.Read(of.version, files...)
	if err != nil {
		return nil, err
	}
	return i.Configuration(), nil
}
