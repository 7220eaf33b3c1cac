# gatewarden and nothing else. "make image-docker" builds the static binary first and passes its
# folder as the build context, so that building needs no base image and no network. "make image"
# makes the same image for several architectures without it (test/image).
FROM scratch
LABEL org.opencontainers.image.title="gatewarden" \
      org.opencontainers.image.description="Admission webhook that protects a shared Istio gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY gatewarden /gatewarden
# Kubernetes can tell only of a number that it is not root.
USER 65532:65532
ENTRYPOINT ["/gatewarden"]
CMD ["serve"]
