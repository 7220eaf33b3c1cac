package apiserver

import (
	"errors"
	"fmt"
	"os"
)

// StopAPIServer stops kube-apiserver and leaves etcd running. What is to survive beside the
// data, which is the server's certificates and the keys by which it signs tokens, is copied
// to a folder that has to live as long as the Server and must be empty.
func (s *Server) StopAPIServer(keep string) error {
	server := s.env.ControlPlane.GetAPIServer()
	if server.CertDir != keep {
		if err := os.CopyFS(keep, os.DirFS(server.CertDir)); err != nil {
			return fmt.Errorf("keeping the certificates of kube-apiserver: %w", err)
		}
	}
	if err := server.Stop(); err != nil {
		return fmt.Errorf("stopping kube-apiserver: %w", err)
	}
	server.CertDir = keep
	return nil
}

// StartAPIServer starts kube-apiserver again, on the same port and with the same data. It
// returns when the server says that it is healthy, which it does before it serves all.
func (s *Server) StartAPIServer() error {
	server := s.env.ControlPlane.GetAPIServer()
	if server.CertDir == "" {
		return errors.New("starting kube-apiserver again: StopAPIServer has to keep its certificates first")
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting kube-apiserver again: %w", err)
	}
	return nil
}
