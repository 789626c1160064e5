# One image with the three programs: yupiaod, bookingd, and yupiao for people. Static, without a shell, not root. The same bytes as make build gives with the same Go.
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN make build

# Time zones and certificates, and nothing else.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /src/bin/ /usr/local/bin/
COPY configs/yupiaod.yaml configs/bookingd.yaml /etc/yupiao/
USER 65532:65532
EXPOSE 8080 8081 8082
ENTRYPOINT ["/usr/local/bin/yupiaod"]
