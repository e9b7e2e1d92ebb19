/* AttestationClientLib.dll, of the package Microsoft.Azure.Security.KeyGuardAttestation: x64 only,
   cdecl, ANSI strings. Windows has no header for it; the declarations are those of MSAL .NET:
   https://github.com/AzureAD/microsoft-authentication-library-for-dotnet
   src/client/Microsoft.Identity.Client.KeyAttestation/Attestation/AttestationClientLib.cs */

typedef void (*AttestationLogCallback)(void *context, const char *tag, int32_t level,
                                       const char *function, int32_t line, const char *message);

typedef struct AttestationLogInfo {
    AttestationLogCallback log;
    void *context;
} AttestationLogInfo;

int32_t InitAttestationLib(AttestationLogInfo *info);

int32_t AttestKeyGuardImportKey(const char *endpoint, const char *auth_token,
                                const char *client_payload, NCRYPT_KEY_HANDLE key, char **token,
                                const char *client_id);

void FreeAttestationToken(char *token);

void UninitAttestationLib(void);
